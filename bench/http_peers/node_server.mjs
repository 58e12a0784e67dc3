// The peer by hand: Node, pg and jsonwebtoken, without any sandbox.
import http from "node:http";
import { createSecretKey } from "node:crypto";
import jsonwebtoken from "jsonwebtoken";
import pg from "pg";

const key = createSecretKey(Buffer.from(process.env.JWT_SECRET));
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

async function todo(request, body) {
  const claims = jsonwebtoken.verify((request.headers.authorization ?? "").slice(7), key, { algorithms: ["HS256"] });
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("SET LOCAL ROLE authenticated");
    await client.query({
      name: "claims",
      text: "SELECT set_config('request.jwt.claims', $1, true)",
      values: [JSON.stringify(claims)],
    });
    const { rows } = await client.query({
      name: "todo",
      text: "SELECT id, title FROM todos WHERE id = $1",
      values: [body.id],
    });
    await client.query("COMMIT");
    return rows[0] ?? null;
  } finally {
    client.release();
  }
}

http
  .createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const body = JSON.parse(Buffer.concat(chunks).toString());
      const answer = request.url === "/todo" ? await todo(request, body) : { message: `Hello, ${body.name}!` };
      const text = JSON.stringify(answer);
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
      response.end(text);
    });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
