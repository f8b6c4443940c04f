// What the clients in JavaScript share: the plan that they are given and how they tell results.
import { readFileSync } from "node:fs";

export const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
export const content = (name) => Buffer.from(plan[name], "base64");

const WITHIN_MS = 60_000;

export function assert(holds, ...what) {
  if (!holds) throw new Error(what.map((part) => JSON.stringify(part) ?? String(part)).join(" "));
}

export function varint(value) {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

export function field(number, value) {
  if (typeof value === "number") return Buffer.concat([varint(number * 8), varint(value)]);
  return Buffer.concat([varint(number * 8 + 2), varint(value.length), value]);
}

export const streamRequest = (number) =>
  Buffer.concat([field(1, number), field(plan.stream_field, content("quote_request"))]);

// The number of an answer, which must be the quote's.
export function streamAnswer(answer) {
  let number = 0;
  let at = 1;
  for (let scale = 1; ; scale *= 128) {
    number += (answer[at] & 0x7f) * scale;
    at += 1;
    if (answer[at - 1] < 0x80) break;
  }
  const rest = field(plan.stream_answer_field, content("quote_answer"));
  assert(answer[0] === 8 && answer.subarray(at).equals(rest), "not the quote's answer");
  return number;
}

export function assertEachOnce(numbers) {
  numbers.sort((a, b) => a - b);
  assert(numbers.length === plan.stream_requests, "answers", numbers.length);
  numbers.forEach((number, at) => assert(number === at + 1, "missing or twice", number, at + 1));
}

export const sayReady = () => console.log(JSON.stringify({ ready: true }));

const late = (name) =>
  new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`${name} takes too long`)), WITHIN_MS).unref(),
  );

export async function run(behaviours) {
  for (const behaviour of process.argv.slice(3)) {
    let problem = "";
    try {
      await Promise.race([behaviours[behaviour](), late(behaviour)]);
    } catch (failure) {
      problem = String(failure.stack ?? failure);
    }
    console.log(JSON.stringify({ behaviour, problem }));
  }
  process.exit(0);
}
