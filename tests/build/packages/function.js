// Uses each of the proven packages once.

import { addDays, formatISO } from "date-fns";
import { jwtVerify, SignJWT } from "jose";
import { nanoid } from "nanoid";
import { v4, v5 } from "uuid";
import { z } from "zod";

const Order = z.object({ id: z.number().int(), email: z.email(), tags: z.array(z.string()).default([]) });
const NAMESPACE = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

async function token() {
  const secret = new TextEncoder().encode("a secret of at least thirty-two bytes");
  const jwt = await new SignJWT({ role: "authenticated" })
    .setProtectedHeader({ alg: "HS256" }).setSubject("ada").setIssuedAt().setExpirationTime("2h").sign(secret);
  const { payload } = await jwtVerify(jwt, secret);
  const forged = await jwtVerify(`${jwt.slice(0, -2)}AA`, secret).catch((error) => error.code);
  return { jwt, sub: payload.sub, forged };
}

export async function handler(input) {
  return {
    valid: Order.parse(input),
    issues: Order.safeParse({ id: 1.5, email: "nobody" }).error.issues.map((issue) => issue.path.join(".")),
    tomorrow: formatISO(addDays(new Date(Date.UTC(2026, 1, 28)), 1)),
    id: nanoid(),
    uuid: v4(),
    named: v5("aerofn", NAMESPACE),
    token: await token(),
  };
}
