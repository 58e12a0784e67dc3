// fetch with its classes, and http.

import { fetch, http, Request, Response } from "../fetch.js";
import { provide } from "../globals.js";
import { Headers } from "../headers.js";

provide({ Headers, Request, Response, fetch, http });
