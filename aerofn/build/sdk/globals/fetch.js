// fetch with its classes, and http.

import { Blob } from "../blob.js";
import { fetch, http, Request, Response } from "../fetch.js";
import { provide } from "../globals.js";
import { Headers } from "../headers.js";

provide({ Blob, Headers, Request, Response, fetch, http });
