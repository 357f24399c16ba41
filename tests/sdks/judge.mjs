// Reads requests, a JSON object a line, and says of each what the provider's own library says of it: {"valid": true}.
// A line with "sign" in place of headers is signed by the library instead, where the library can: {"headers": {…}}.
//
// {"provider", "body" (base64), "key", "now" (Unix seconds), "url", "headers": {…} | "sign": true}

import { parse as parseForm } from "node:querystring";
import { createInterface } from "node:readline";

import "@shopify/shopify-api/adapters/node";
import { ApiVersion, LogSeverity, shopifyApi } from "@shopify/shopify-api";
import { WebhooksHelper } from "square";
import Stripe from "stripe";
import twilio from "twilio";

const stripe = new Stripe("sk_test_none");

const shopifyWith = (apiSecretKey) =>
  shopifyApi({
    apiKey: "none",
    apiSecretKey,
    hostName: "example.com",
    apiVersion: Object.values(ApiVersion).at(-1),
    isEmbeddedApp: false,
    logger: { level: LogSeverity.Error, log: () => {} },
  });

const judges = {
  square: ({ body, headers, key, url }) =>
    WebhooksHelper.verifySignature({
      requestBody: body.toString(),
      signatureHeader: headers["x-square-hmacsha256-signature"] ?? "",
      signatureKey: key,
      notificationUrl: url,
    }),
  shopify: async ({ body, headers, key }) => {
    const rawRequest = { method: "POST", url: "/webhooks/shopify", headers };
    const verdict = await shopifyWith(key).webhooks.validate({ rawBody: body.toString(), rawRequest });
    return verdict.valid;
  },
  stripe: ({ body, headers, key, now }) => {
    try {
      stripe.webhooks.constructEvent(body, headers["stripe-signature"], key, 300, undefined, now * 1000);
      return true;
    } catch (error) {
      if (error.type !== "StripeSignatureVerificationError") throw error;
      return false;
    }
  },
  twilio: ({ body, headers, key, url }) =>
    twilio.validateRequest(key, headers["x-twilio-signature"] ?? "", url, parseForm(body.toString())),
};

const signers = {
  stripe: ({ body, key, now }) => ({
    "stripe-signature": stripe.webhooks.generateTestHeaderString({
      payload: body.toString(),
      secret: key,
      timestamp: now,
    }),
  }),
  twilio: ({ body, key, url }) => ({
    "x-twilio-signature": twilio.getExpectedTwilioSignature(key, url, parseForm(body.toString())),
  }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  request.body = Buffer.from(request.body, "base64");
  const answer = request.sign
    ? { headers: signers[request.provider](request) }
    : { valid: await judges[request.provider](request) };
  console.log(JSON.stringify(answer));
}
