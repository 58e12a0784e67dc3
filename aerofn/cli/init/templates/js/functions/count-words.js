/** @type {AeroFnHandler<{ id: number, body: string }>} */
export async function handler(note) {
  const words = note.body.split(/\s+/).filter(Boolean).length;
  await db.query("UPDATE notes SET words = $2 WHERE id = $1", [note.id, words]);
  console.log(`note ${note.id} has ${words} words`);
  return { words };
}
