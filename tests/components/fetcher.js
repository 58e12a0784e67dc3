// A function that asks what it is told to ask, for the tests of outgoing HTTP.

const actions = {
  async get({ url, timeout }) {
    try {
      const response = await fetch(url, timeout ? { signal: AbortSignal.timeout(timeout) } : {});
      const { ok, status, statusText, redirected } = response;
      return { ok, status, statusText, url: response.url, redirected, text: await response.text() };
    } catch ({ name, code, hint, message }) {
      return { name, code, hint, message };
    }
  },
  async binary({ url }) {
    const response = await fetch(url);
    const blob = await response.clone().blob();
    await fetch(url, { method: "POST", body: new Uint8Array([0, 255, 128]) });
    return { bytes: [...(await response.bytes())], size: blob.size };
  },
  all: ({ urls }) =>
    Promise.all(urls.map((url) => fetch(url).then((response) => response.text(), (error) => error.code))),
  async after({ url, sql, key, secret, body, throw: failing }) {
    if (sql) await db.query(sql);
    const headers = { "x-mine": "1", ...(key && { "Idempotency-Key": key }) };
    if (secret) headers.authorization = `Bearer ${env.get(secret)}`;
    const kept = await http.fetchAfterCommit(url, { method: "POST", body: body ?? JSON.stringify({ a: 1 }), headers });
    if (failing) throw new Error("on purpose");
    return kept;
  },
};

export const handler = (input) => actions[input.do](input);
