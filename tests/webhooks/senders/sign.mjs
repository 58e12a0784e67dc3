// Signs a body as three senders do, with their own libraries: the headers of each, as JSON on standard output.

import { readFileSync } from "node:fs";
import { sign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const { body, secret, standardSecret, id, now } = JSON.parse(readFileSync(0, "utf8"));
const stripe = Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now });
const standard = new Webhook(standardSecret).sign(id, new Date(now * 1000), body);

process.stdout.write(
  JSON.stringify({
    stripe: { "Stripe-Signature": stripe },
    standard: { "webhook-id": id, "webhook-timestamp": String(now), "webhook-signature": standard },
    github: { "X-GitHub-Delivery": id, "X-Hub-Signature-256": await sign(secret, body) },
  }),
);
