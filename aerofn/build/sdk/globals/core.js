// What every function has.

import { stopDate } from "../clock.js";
import { console } from "../console.js";
import { db, PgError } from "../db.js";
import { env } from "../env.js";
import { provide } from "../globals.js";
import "../random.js";
import { clearTimeout, setInterval, setTimeout } from "../timers.js";

provide({ PgError, clearInterval: clearTimeout, clearTimeout, console, db, env, self: globalThis, setInterval, setTimeout });
stopDate();
