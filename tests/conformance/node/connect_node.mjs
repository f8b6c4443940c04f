// @connectrpc/connect-node by its gRPC transport, with messages of protobuf-es.
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createGrpcTransport } from "@connectrpc/connect-node";

import {
  assert, assertEachOnce, content, plan, run, sayReady, streamAnswer, streamRequest,
} from "./common.mjs";

const described = fromBinary(FileDescriptorSetSchema, readFileSync(plan.descriptors));
const registry = createFileRegistry(described);
const checkout = registry.getService("checklane.v1.CheckoutService");
const health = registry.getService("grpc.health.v1.Health");
const messageOf = (service, method) => service.method[method].input;
const WITHIN_MS = 30_000;

const transport = (options = {}, address = "address", scheme = "http") =>
  createGrpcTransport({ baseUrl: `${scheme}://${plan[address]}`, ...options });
const lane = (...where) => createClient(checkout, transport(...where));

const request = (method, bytes) => fromBinary(messageOf(checkout, method), bytes);

async function quote(client, name = "quote") {
  const asked = request("quoteBasket", content(`${name}_request`));
  const answer = await client.quoteBasket(asked, { timeoutMs: WITHIN_MS });
  const bytes = Buffer.from(toBinary(checkout.method.quoteBasket.output, answer));
  assert(bytes.equals(content(`${name}_answer`)), "another answer");
}

async function refusal(work) {
  try {
    await work;
  } catch (failure) {
    return ConnectError.from(failure);
  }
  throw new Error("was not refused");
}

async function* until(signal, ...sent) {
  yield* sent;
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

const secured = (own) => ({
  nodeOptions: {
    ca: readFileSync(plan.authority),
    ...(own && { key: readFileSync(plan.lane_key), cert: readFileSync(plan.lane_certificate) }),
  },
});

await run({
  unary: () => quote(lane()),
  empty: async () => {
    const answer = await createClient(health, transport()).check({});
    assert(answer.status === 1, answer.status);
  },
  large: () => quote(lane(), "large"),
  metadata: async () => {
    const brought = new Map();
    const take = (headers) => headers.forEach((value, name) => brought.set(name, value));
    await lane().commitTransaction(request("commitTransaction", content("commit_request")), {
      onHeader: take,
      onTrailer: take,
    });
    assert(brought.get("checklane-correlation-id") === plan.correlation, [...brought]);
  },
  details: async () => {
    const asked = request("quoteBasket", content("refused_request"));
    const failure = await refusal(lane().quoteBasket(asked));
    assert(failure.code === plan.refused_code, failure.code);
    assert(failure.rawMessage === plan.refused_words, failure.rawMessage);
    const header = failure.metadata.get("grpc-status-details-bin").replaceAll("=", "");
    assert(header === plan.refused_details.replaceAll("=", ""), "other details");
    assert(failure.details.length > 0, "no details");
  },
  unknown: async () => {
    const nothing = { ...checkout.method.quoteBasket, name: "Nothing" };
    const call = transport().unary(nothing, undefined, WITHIN_MS, undefined, {});
    assert((await refusal(call)).code === Code.Unimplemented, "another code");
  },
  many: () => {
    const client = lane();
    return Promise.all(Array.from({ length: plan.calls_at_once }, () => quote(client)));
  },
  compressed: () =>
    quote(lane({ sendCompression: compressionGzip, compressMinBytes: 1 }), "large"),
  stream: async () => {
    async function* requests() {
      for (let number = 1; number <= plan.stream_requests; number++) {
        yield request("streamLane", streamRequest(number));
      }
    }
    const numbers = [];
    for await (const answer of lane().streamLane(requests(), { timeoutMs: 2 * WITHIN_MS })) {
      numbers.push(streamAnswer(Buffer.from(toBinary(checkout.method.streamLane.output, answer))));
    }
    assertEachOnce(numbers);
  },
  deadline: async () => {
    const over = new AbortController();
    const answers = lane().streamLane(until(over.signal), { timeoutMs: 300 });
    const failure = await refusal(answers[Symbol.asyncIterator]().next());
    over.abort();
    assert(failure.code === Code.DeadlineExceeded, failure.code);
  },
  cancel: async () => {
    const client = lane();
    const over = new AbortController();
    const sent = request("streamLane", streamRequest(1));
    const answers = client.streamLane(until(over.signal, sent), { signal: over.signal });
    const first = answers[Symbol.asyncIterator]();
    const { value } = await first.next();
    assert(Number(value.requestId) === 1, value.requestId);
    over.abort();
    assert((await refusal(first.next())).code === Code.Canceled, "not cancelled");
    await quote(client);
  },
  tls: () => quote(lane(secured(false), "tls_address", "https")),
  mutual_tls: async () => {
    await quote(lane(secured(true), "mutual_tls_address", "https"));
    const without = quote(lane(secured(false), "mutual_tls_address", "https"));
    const failure = await refusal(without);
    assert([Code.Unavailable, Code.Internal, Code.Aborted].includes(failure.code), failure.code);
  },
  drain: async () => {
    const client = lane();
    await quote(client);
    sayReady();
    for (;;) {
      try {
        await quote(client);
      } catch (failure) {
        // It has four words for it: a new connection that nobody takes any more is aborted, and a
        // call on its way when the last GOAWAY came is what its stream ended with.
        const { code, rawMessage } = ConnectError.from(failure);
        const isStream =
          (code === Code.Internal && rawMessage.includes("REFUSED_STREAM")) ||
          (code === Code.Canceled && rawMessage.includes("CANCEL (0x8)"));
        assert(isStream || code === Code.Unavailable || code === Code.Aborted, failure);
        return;
      }
    }
  },
});
