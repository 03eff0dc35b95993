// JSON both ways: what stays exact, and what is kept to the letter.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parse, Source, stringify, tokens } from "../client.mjs";
import { parseKeeping } from "../json.mjs";

test("long whole numbers are BigInts, long fractions are numbers, texts stay texts", () => {
  const text = '{"a":12345678901234567890,"b":0.14333333333333334,"c":-1234567890123456.5,"d":"1234567890123456789","e":1234567890123456e3}';
  const value = parse(text);
  assert.deepEqual(value, {
    a: 12345678901234567890n,
    b: 0.14333333333333334,
    c: -1234567890123456.5,
    d: "1234567890123456789",
    e: 1234567890123456000,
  });
  assert.equal(stringify({ a: value.a, d: value.d }), '{"a":12345678901234567890,"d":"1234567890123456789"}');
});

test("a member is kept to the letter, and written so, whatever stands in it", () => {
  const written = '{ "price": -0.10, "text": "a \\"}, ,\\\\", "payload": [1e2, {}], "long": 12345678901234567890 }';
  const kept = parseKeeping(["payload", "result"], `{"id": "x:", "payload": ${written} , "result":null,"labels":{"payload":"no"}}`);
  assert.deepEqual([kept.payload.text, kept.result, kept.labels], [written, null, { payload: "no" }]);
  assert.equal(stringify({ payload: kept.payload, n: 2n ** 70n }), `{"payload":${written},"n":1180591620717411303424}`);
  assert.deepEqual(tokens('{"a b": [1.0, "}"]}'), ["{", '"a b"', ":", "[", "1.0", ",", '"}"', "]", "}"]);
  const long = "x".repeat(2_000_000);
  assert.equal(parseKeeping(["payload"], `{"payload":"${long}"}`).payload.text.length, long.length + 2);
  assert.equal(stringify(new Source("1.0")), "1.0");
});
