"""From an author's source to a component: JavaScript today, and checks of components made elsewhere."""
