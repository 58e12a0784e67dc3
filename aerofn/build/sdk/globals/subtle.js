// crypto.subtle, and CryptoKey.

import { CryptoKey, subtle } from "../subtle.js";
import { provide } from "../globals.js";

provide({ CryptoKey });
globalThis.crypto.subtle = subtle;
