"""Asks a running mongod for the answers to the shared cases and reports every case that expects another one."""

import base64
import datetime
import json
import sys
import uuid
from pathlib import Path

import pymongo
from bson import Decimal128, Int64, ObjectId

TAGS = {
    "$numberLong": Int64,
    "$numberDecimal": Decimal128,
    "$numberDouble": lambda text: float(text.replace("Infinity", "inf")),
    "$oid": ObjectId,
    "$uuid": uuid.UUID,
    "$day": str,
    "$time": lambda text: text if "." not in text else text.ljust(15, "0"),
    "$binary": lambda inner: base64.b64decode(inner["base64"]),
    "$date": lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")),
}


def untag(value):
    """Tagged JSON as what pymongo stores; ints are 64 bits wide, days and times are text."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if isinstance(value, dict):
        tag = next(iter(value), None)
        if len(value) == 1 and tag in TAGS:
            return TAGS[tag](value[tag])
        return {key: untag(item) for key, item in value.items()}
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value


def complete(fields, document):
    """A document with every declared field in its declared order, as the core stores it."""
    filled = {field["name"]: fill(field, document.get(field["name"], field.get("default"))) for field in fields}
    return filled | {key: value for key, value in document.items() if key not in filled}


def fill(field, value):
    kind = field["type"]["kind"]
    if kind == "model" and isinstance(value, dict):
        return complete(field["type"]["fields"], value)
    if kind == "list" and isinstance(value, list):
        return [fill(field["type"]["items"], item) for item in value]
    return value


def document_of(fields, document):
    return {"_id": document["id"]} | untag(complete(fields, document))


def identical(left, right):
    """Equality that tells ints from floats, scales of decimals and orders of keys apart."""
    if isinstance(left, datetime.datetime) and isinstance(right, datetime.datetime):
        return left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(identical(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(identical, left, right))
    return type(left) is type(right) and str(left) == str(right)


def sort_pairs(sort):
    if isinstance(sort, dict):
        return list(sort.items())
    parts = [sort] if isinstance(sort, str) else sort
    text = [
        (part.lstrip("+-"), -1 if part.startswith("-") else 1) if isinstance(part, str) else tuple(part)
        for part in parts
    ]
    return text


def answer(collection, case, fields):
    documents = case.get("documents") or [case["document"]]
    collection.drop()
    collection.insert_many([document_of(fields, document) for document in documents])
    if "filter" in case:
        return sorted(found["_id"] for found in collection.find(untag(case["filter"])))
    if "sort" in case:
        return [found["_id"] for found in collection.find().sort(sort_pairs(case["sort"]))]
    before, update = collection.find_one(), untag(case["update"])
    if update:
        change = update if any(key.startswith("$") for key in update) else {"$set": update}
        collection.update_one({}, change, array_filters=untag(case.get("array_filters")))
    after = collection.find_one()
    return {key: after.get(key) for key in before if not identical(before[key], after.get(key))}


def main(url):
    client = pymongo.MongoClient(url, uuidRepresentation="standard", tz_aware=True)
    collection = client["farm_db_cases"]["cases"]
    asked = different = 0
    for name in ("filters", "updates", "sorts"):
        content = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
        fields = content["contract"]["entities"][0]["fields"]
        for case in content["cases"]:
            if case.get("by_contract") or "error" in (case["expect"] if isinstance(case["expect"], dict) else ()):
                continue
            asked += 1
            wanted, got = untag(case["expect"]), untag_ints(answer(collection, case, fields))
            if not identical(wanted, got):
                different += 1
                print(f"{name}: {case['name']}: expected {wanted}, mongod answers {got}")
    collection.drop()
    print(f"{asked} cases asked, {different} different")
    return different == 0


def untag_ints(value):
    return [Int64(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
