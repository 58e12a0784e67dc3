// On SpiderMonkey, which brings the web platform: what is AeroFn's own, and `fetch`, which goes through the host.

import { Blob } from "../blob.js";
import { stopDate } from "../clock.js";
import { console } from "../console.js";
import { db, PgError } from "../db.js";
import { env } from "../env.js";
import { fetch, http, Request, Response } from "../fetch.js";
import { provide } from "../globals.js";
import { Headers } from "../headers.js";
import "../random.js";
import { clearTimeout, setInterval, setTimeout } from "../timers.js";

provide({
  Blob, Headers, PgError, Request, Response, clearInterval: clearTimeout, clearTimeout, console, db, env, fetch, http,
  setInterval, setTimeout,
});
stopDate();
