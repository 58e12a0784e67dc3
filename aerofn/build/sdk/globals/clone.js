// structuredClone.

import structuredClone from "@ungap/structured-clone";
import { provide } from "../globals.js";

provide({ structuredClone });
