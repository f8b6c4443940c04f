// @grpc/grpc-js, with messages as bytes.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";

import {
  assert, assertEachOnce, content, plan, run, sayReady, streamAnswer, streamRequest,
} from "./common.mjs";

const QUOTE = "/checklane.v1.CheckoutService/QuoteBasket";
const COMMIT = "/checklane.v1.CheckoutService/CommitTransaction";
const STREAM = "/checklane.v1.CheckoutService/StreamLane";
const CHECK = "/grpc.health.v1.Health/Check";
const UNKNOWN = "/checklane.v1.CheckoutService/Nothing";
const GZIP = 2;
const WITHIN_MS = 30_000;
const { status } = grpc;
const same = (bytes) => bytes;
const deadline_in = (ms) => ({ deadline: Date.now() + ms });

async function using(work, credentials = grpc.credentials.createInsecure(), options = {}) {
  const client = new grpc.Client(plan[options.address ?? "address"], credentials, options.channel);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

function call(client, path, request) {
  return new Promise((resolve, reject) => {
    let metadata;
    const made = client.makeUnaryRequest(
      path, same, same, request, new grpc.Metadata(), deadline_in(WITHIN_MS),
      (failure, answer) => (failure ? reject(failure) : setImmediate(resolve, { answer, metadata })),
    );
    made.on("metadata", (initial) => (metadata = initial));
    made.on("status", (ended) => metadata?.merge(ended.metadata));
  });
}

async function quote(client, name = "quote") {
  const { answer } = await call(client, QUOTE, content(`${name}_request`));
  assert(answer.equals(content(`${name}_answer`)), "another answer");
}

async function refusal(work) {
  try {
    await work;
  } catch (failure) {
    return failure;
  }
  throw new Error("was not refused");
}

const open = (client, options = {}) =>
  client.makeBidiStreamRequest(STREAM, same, same, new grpc.Metadata(), options);

const ended = (stream) =>
  new Promise((resolve) => {
    stream.on("error", resolve);
    stream.on("end", () => resolve(undefined));
  });

const secured = (own) =>
  grpc.credentials.createSsl(
    readFileSync(plan.authority),
    own ? readFileSync(plan.lane_key) : null,
    own ? readFileSync(plan.lane_certificate) : null,
  );

await run({
  unary: () => using(quote),
  empty: () =>
    using(async (client) => {
      const { answer } = await call(client, CHECK, Buffer.alloc(0));
      assert(answer.equals(Buffer.from([8, 1])), answer);
    }),
  large: () => using((client) => quote(client, "large")),
  metadata: () =>
    using(async (client) => {
      const { metadata } = await call(client, COMMIT, content("commit_request"));
      assert(metadata.get("checklane-correlation-id")[0] === plan.correlation, metadata.getMap());
    }),
  details: () =>
    using(async (client) => {
      const failure = await refusal(call(client, QUOTE, content("refused_request")));
      assert(failure.code === plan.refused_code, failure.code);
      assert(failure.details === plan.refused_words, failure.details);
      const [details] = failure.metadata.get("grpc-status-details-bin");
      assert(details.equals(content("refused_details")), "other details");
    }),
  unknown: () =>
    using(async (client) => {
      const failure = await refusal(call(client, UNKNOWN, Buffer.alloc(0)));
      assert(failure.code === status.UNIMPLEMENTED, failure.code);
    }),
  many: () =>
    using((client) => Promise.all(Array.from({ length: plan.calls_at_once }, () => quote(client)))),
  compressed: () =>
    using((client) => quote(client, "large"), undefined, {
      channel: { "grpc.default_compression_algorithm": GZIP },
    }),
  stream: () =>
    using(async (client) => {
      const stream = open(client, deadline_in(2 * WITHIN_MS));
      const numbers = [];
      stream.on("data", (answer) => numbers.push(streamAnswer(answer)));
      const end = ended(stream);
      for (let number = 1; number <= plan.stream_requests; number++) {
        if (!stream.write(streamRequest(number))) await new Promise((r) => stream.once("drain", r));
      }
      stream.end();
      const failure = await end;
      assert(!failure, failure);
      assertEachOnce(numbers);
    }),
  deadline: () =>
    using(async (client) => {
      const stream = open(client, deadline_in(300));
      stream.resume();
      const failure = await ended(stream);
      assert(failure?.code === status.DEADLINE_EXCEEDED, failure);
    }),
  cancel: () =>
    using(async (client) => {
      const stream = open(client);
      const end = ended(stream);
      stream.write(streamRequest(1));
      const answer = await new Promise((resolve) => stream.once("data", resolve));
      assert(streamAnswer(answer) === 1, answer);
      stream.cancel();
      assert((await end)?.code === status.CANCELLED, "not cancelled");
      await quote(client);
    }),
  tls: () => using(quote, secured(false), { address: "tls_address" }),
  mutual_tls: async () => {
    await using(quote, secured(true), { address: "mutual_tls_address" });
    const without = using(quote, secured(false), { address: "mutual_tls_address" });
    assert((await refusal(without)).code === status.UNAVAILABLE, "was served");
  },
  drain: () =>
    using(async (client) => {
      await quote(client);
      sayReady();
      for (;;) {
        try {
          await quote(client);
        } catch (failure) {
          assert(failure.code === status.UNAVAILABLE, failure);
          return;
        }
      }
    }),
});
