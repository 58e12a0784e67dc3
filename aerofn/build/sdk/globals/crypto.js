// crypto with its random values; globals/subtle.js adds the rest.

import { provide } from "../globals.js";
import { getRandomValues, randomUUID } from "../random.js";

provide({ crypto: { getRandomValues, randomUUID } });
