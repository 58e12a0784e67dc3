// Sends whatever SQL its caller wants and tells everything that comes back: the hostile function of the suite.
export async function handler({ statements }) {
  const results = [];
  for (const [sql, params] of statements) {
    try {
      results.push({ rows: (await db.query(sql, params ?? [])).rows.map((row) => Object.values(row)) });
    } catch (error) {
      results.push({ error: `${error.code}: ${error.message} ${error.detail ?? ""} ${error.hint ?? ""}` });
    }
  }
  return { results };
}
