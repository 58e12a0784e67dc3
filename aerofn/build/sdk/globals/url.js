// URL and URLSearchParams.

import { URL, URLSearchParams } from "whatwg-url-minimum";
import { provide } from "../globals.js";

provide({ URL, URLSearchParams });
