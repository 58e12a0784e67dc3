// `db.query`: SQL as the function's caller, in the invocation's one transaction.

import host from "aerofn:function/host@1.0.0";
import { parse, stringifyParameters } from "./json.js";
import { demandInvocation } from "./lifetime.js";

// What PostgreSQL reported: `code` is the SQLSTATE; `detail`, `hint`, `constraint`, `table`, `column` …
// are there when the report had them.
export class PgError extends Error {
  constructor(fields) {
    super(fields.message ?? "the query failed");
    Object.assign(this, fields);
  }
}
Object.defineProperty(PgError.prototype, "name", { value: "PgError", writable: true, configurable: true });

// `{ rows, rowCount }`, and itself a list of its rows: `const [user] = await db.query(…)`.
class Result {
  constructor(answer) {
    this.rows = answer.rows ?? [];
    this.rowCount = answer.rowCount ?? this.rows.length;
  }

  [Symbol.iterator]() {
    return this.rows[Symbol.iterator]();
  }
}

function report(thrown) {
  const text = typeof thrown?.payload === "string" ? thrown.payload : String(thrown);
  try {
    return new PgError(JSON.parse(text));
  } catch {
    return new PgError({ message: text });
  }
}

export const db = {
  async query(sql, params = []) {
    demandInvocation("db.query");
    if (typeof sql !== "string") throw new TypeError("db.query(sql, params): sql must be a string");
    if (!Array.isArray(params)) throw new TypeError("db.query(sql, params): params must be an array, as in [id]");
    const text = stringifyParameters(params);
    let answer;
    try {
      answer = host.dbQuery(sql.toWellFormed(), text);
    } catch (thrown) {
      throw report(thrown);
    }
    return new Result(parse(answer));
  },
};
