export async function handler({ name }) {
  return { message: `Hello, ${name}!` };
}
