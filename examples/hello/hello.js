// HTTP: greets whoever the request's body names, and says as whom it runs.
//
// The first argument is the parsed body, the second the whole event: request, caller and more.

export async function handler({ name = "World" }, event) {
  const { role, sub } = event.caller ?? {};
  console.log("greeting", name, "for", sub ?? role ?? "nobody");
  return { message: `Hello, ${name}!`, caller: { role: role ?? null, sub: sub ?? null }, at: new Date() };
}
