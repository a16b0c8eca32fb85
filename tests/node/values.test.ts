import { Decimal, ObjectId, PreciseDate } from "@farm/db-native";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { refused } from "./support.js";

describe("Decimal", () => {
  test("keeps its text", () => {
    for (const text of ["1.10", "-0.00", "1E+50", "12345678901234567890.1234", ".5", "5."]) {
      expect(new Decimal(text).toString()).toBe(text);
      expect(JSON.stringify(new Decimal(text))).toBe(JSON.stringify(text));
    }
    expect(new Decimal(12n).toString()).toBe("12");
    expect(new Decimal(new Decimal("1.0")).toString()).toBe("1.0");
  });

  test("equals by value, not by scale", () => {
    for (const [one, other] of [
      ["1.10", "1.1"],
      ["100", "1e2"],
      ["0.00", "-0"],
      ["0012", "12.000"],
      ["-1.5", "-15e-1"],
    ]) {
      expect(new Decimal(one!).equals(other!)).toBe(true);
    }
    for (const [one, other] of [
      ["1.10", "1.11"],
      ["1", "-1"],
      ["10", "1"],
      ["0.1", "0.01"],
    ]) {
      expect(new Decimal(one!).equals(other!)).toBe(false);
    }
  });

  test("equals every other way of writing the number", () => {
    const parts = fc.tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.integer({ min: -20, max: 20 }));
    fc.assert(
      fc.property(parts, fc.nat(5), ([digits, exponent], zeros) => {
        const shifted = `${digits}${"0".repeat(zeros)}e${exponent - zeros}`;
        return new Decimal(`${digits}e${exponent}`).equals(shifted);
      }),
    );
  });

  test("refuses what is no exact number", async () => {
    for (const wrong of ["", ".", "abc", "1,5", "NaN", "Infinity", "1e", "--1", " 1"]) {
      await refused(() => new Decimal(wrong), "invalid_value");
    }
    await refused(() => new Decimal(0.1), "invalid_value");
    await refused(() => new Decimal(2 ** 53), "invalid_value");
  });
});

describe("ObjectId", () => {
  test("is 24 digits, equal whatever the case", async () => {
    const id = new ObjectId("59A47286CFA9A3A73E51E72C");
    expect(id.toString()).toBe("59a47286cfa9a3a73e51e72c");
    expect(id.equals("59a47286cfa9a3a73e51e72c")).toBe(true);
    expect(id.getTimestamp().toISOString()).toBe("2017-08-28T19:44:06.000Z");
    await refused(() => new ObjectId("59a47286"), "invalid_value");
  });
});

describe("PreciseDate", () => {
  test("is a Date with six digits behind the seconds", async () => {
    const date = new PreciseDate("2024-01-31T12:00:00.001Z", 7);
    expect(date).toBeInstanceOf(Date);
    expect(date.getTime()).toBe(Date.UTC(2024, 0, 31, 12, 0, 0, 1));
    expect(date.toISOString()).toBe("2024-01-31T12:00:00.001007Z");
    expect(JSON.stringify({ date })).toBe('{"date":"2024-01-31T12:00:00.001007Z"}');
    await refused(() => new PreciseDate(0, 1000), "invalid_value");
  });
});
