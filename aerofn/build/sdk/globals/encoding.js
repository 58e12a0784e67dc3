// TextEncoder and TextDecoder.

import { TextDecoder, TextEncoder } from "../encoding.js";
import { provide } from "../globals.js";

provide({ TextDecoder, TextEncoder });
