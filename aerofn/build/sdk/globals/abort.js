// AbortController and AbortSignal.

import { AbortController, AbortSignal } from "../abort.js";
import { provide } from "../globals.js";

provide({ AbortController, AbortSignal });
