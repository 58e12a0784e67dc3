// Answers with what it was asked, in the form that was asked for.

export async function handler(input, event) {
  const { request, caller } = event;
  switch (input?.want ?? request.query.want) {
    case "text":
      return { statusCode: 200, headers: { "content-type": "text/plain" }, body: "just text" };
    case "blob":
      return { statusCode: 200, body: "AAEC/w==", isBase64Encoded: true };
    case "response":
      return new Response(JSON.stringify({ made: "by Response" }), { headers: { "content-type": "application/json" } });
    case "same":
      return { statusCode: 200, headers: { "content-type": request.headers["content-type"] }, body: request.body, isBase64Encoded: true };
    case "refuse":
      return { statusCode: 422, headers: { "x-why": "because" }, body: { problem: "no name" } };
    case "throw":
      throw new RangeError("thrown on purpose");
    case "spin":
      for (;;);
  }
  return { body: request.body, base64: request.isBase64Encoded ?? false, method: request.method, path: request.path, query: request.query, headers: request.headers, caller };
}
