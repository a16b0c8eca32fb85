"""Databases that farm_db did not make, one for each backend, and what is expected to be found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from farm_db import ObjectId


@dataclass
class Legacy:
    """A database, and what is found in it."""

    statements: list[Any]
    #: The type of each field of each entity.
    kinds: dict[str, dict[str, str]]
    rows: dict[str, list[dict[str, Any]]]
    #: Other facts of some fields.
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    relations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: How some notes begin.
    notes: list[str] = field(default_factory=list)
    #: What no note is about.
    silent: list[str] = field(default_factory=list)


def relation(name: str, kind: str, target: str, fields: list[str], on_delete: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "target": target, "fields": fields, "on_delete": on_delete}


NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
KEY = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
COUNTED = {"primary_key": True, "generated": "auto_increment"}

SQLITE = Legacy(
    statements=[
        "CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL DEFAULT 'nobody', email TEXT UNIQUE, "
        "active BOOLEAN DEFAULT 1, rating DOUBLE, seen DATETIME DEFAULT CURRENT_TIMESTAMP, mixed INTEGER, odd INTEGER)",
        "CREATE TABLE books (id INTEGER PRIMARY KEY AUTOINCREMENT, author_id INT NOT NULL REFERENCES authors ON DELETE "
        "CASCADE, title TEXT NOT NULL, price REAL NOT NULL, cover BLOB, upper_title TEXT AS (upper(title)), "
        "shop INTEGER REFERENCES shops (id)) STRICT",
        "CREATE TABLE shops (id INTEGER UNIQUE)",
        "CREATE INDEX books_title ON books (title, price DESC)",
        "CREATE INDEX books_cheap ON books (price) WHERE price < 1",
        "CREATE INDEX books_lower ON books (lower(title))",
        "CREATE TABLE seats (place TEXT, row INTEGER, author_id INTEGER UNIQUE REFERENCES authors (id) ON DELETE SET "
        "NULL, PRIMARY KEY (row, place)) WITHOUT ROWID",
        "CREATE TABLE log (line TEXT)",
        "CREATE VIEW names AS SELECT name FROM authors",
        "INSERT INTO authors VALUES (1, 'Ada', 'a@x', 1, 0.5, '2024-01-31 12:00:00', 1, 'x'), "
        "(2, 'Bo', NULL, 0, NULL, NULL, 'x', 'y')",
        "INSERT INTO books (author_id, title, price, cover) VALUES (1, 'One', 1.5, x'00ff')",
        "INSERT INTO seats VALUES ('a', 1, 2)",
    ],
    kinds={
        "authors": {
            "id": "int",
            "name": "text",
            "email": "text",
            "active": "bool",
            "rating": "float",
            "seen": "text",
            "odd": "text",
        },
        "books": {"id": "int", "author_id": "int", "title": "text", "price": "float", "cover": "bytes", "shop": "int"},
        "seats": {"row": "int", "place": "text", "author_id": "int"},
    },
    rows={
        "authors": [
            {
                "active": True,
                "email": "a@x",
                "id": 1,
                "name": "Ada",
                "odd": "x",
                "rating": 0.5,
                "seen": "2024-01-31 12:00:00",
            },
            {"active": False, "email": None, "id": 2, "name": "Bo", "odd": "y", "rating": None, "seen": None},
        ],
        "books": [{"author_id": 1, "cover": b"\x00\xff", "id": 1, "price": 1.5, "shop": None, "title": "One"}],
        "seats": [{"author_id": 2, "place": "a", "row": 1}],
    },
    fields={
        "authors.id": COUNTED,
        "books.id": COUNTED,
        "authors.name": {"default": "nobody", "max_length": 50},
        "authors.active": {"default": True, "nullable": True},
        "authors.seen": {"nullable": True},
        "seats.row": {"primary_key": True},
    },
    indexes={
        "authors": [{"name": "ux_authors_email", "fields": ["email"], "unique": True}],
        "books": [{"name": "books_title", "fields": ["title", "-price"]}],
    },
    relations={
        "books": [relation("author", "many_to_one", "authors", ["author_id"], "cascade")],
        "seats": [relation("author", "one_to_one", "authors", ["author_id"], "set_null")],
    },
    notes=[
        "names: is a view",
        "log: has no primary key",
        "authors.mixed: declared",
        "authors.odd: declared",
        "authors.seen: the default CURRENT_TIMESTAMP",
        "authors.name: VARCHAR(50)",
        "books.upper_title: is a generated column",
        "books.shop: the foreign key to shops",
        "books: the index books_cheap",
        "books: the index books_lower",
    ],
    silent=["sqlite_", "books.title:"],
)

POSTGRES = Legacy(
    statements=[
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE TABLE authors (id serial PRIMARY KEY, name varchar(50) COLLATE \"C\" NOT NULL DEFAULT 'nobody', "
        "email text CONSTRAINT authors_email UNIQUE, small smallint, active boolean DEFAULT true, rating real, "
        "seen timestamptz DEFAULT now(), local timestamp, born date, wakes time, token uuid, photo bytea, "
        "money numeric(10, 2) DEFAULT 0.5, extra jsonb, feeling mood, place point, tags text[], "
        "forever timestamptz, nan numeric)",
        "CREATE TABLE books (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, author_id int NOT NULL REFERENCES "
        'authors ON DELETE CASCADE, title text COLLATE "C" NOT NULL, upper_title text GENERATED ALWAYS AS '
        "(upper(title)) STORED)",
        "CREATE INDEX books_title ON books (title, id DESC)",
        "CREATE INDEX books_some ON books (title) WHERE id > 5",
        "CREATE INDEX books_lower ON books (lower(title))",
        'CREATE TABLE seats (place text COLLATE "C", row int, author_id int UNIQUE REFERENCES authors ON DELETE SET '
        "NULL, PRIMARY KEY (row, place))",
        "CREATE TABLE log (line text)",
        "CREATE VIEW names AS SELECT name FROM authors",
        "INSERT INTO authors VALUES (1, 'Ada', 'a@x', 2, true, 0.5, '2024-01-31 12:00Z', '2024-01-31 12:00', "
        f"'2024-01-31', '01:02:03', '{KEY}', '\\x00ff', 1.50, '{{\"a\": [1]}}', 'happy', '(1,2)', '{{a}}', "
        "'infinity', 'NaN')",
        "INSERT INTO books (author_id, title) VALUES (1, 'One')",
        "INSERT INTO seats VALUES ('a', 1, 1)",
    ],
    kinds={
        "authors": {
            "id": "int",
            "name": "text",
            "email": "text",
            "small": "int",
            "active": "bool",
            "rating": "float",
            "seen": "datetime",
            "local": "datetime",
            "born": "date",
            "wakes": "time",
            "token": "uuid",
            "photo": "bytes",
            "money": "decimal",
            "extra": "any",
            "feeling": "text",
        },
        "books": {"id": "int", "author_id": "int", "title": "text"},
        "seats": {"row": "int", "place": "text", "author_id": "int"},
    },
    rows={
        "authors": [
            {
                "active": True,
                "born": date(2024, 1, 31),
                "email": "a@x",
                "extra": {"a": [1]},
                "feeling": "happy",
                "id": 1,
                "local": NOON,
                "money": Decimal("1.50"),
                "name": "Ada",
                "photo": b"\x00\xff",
                "rating": 0.5,
                "seen": NOON,
                "small": 2,
                "token": KEY,
                "wakes": time(1, 2, 3),
            }
        ],
        "books": [{"author_id": 1, "id": 1, "title": "One"}],
        "seats": [{"author_id": 1, "place": "a", "row": 1}],
    },
    fields={
        "authors.id": COUNTED,
        "books.id": COUNTED,
        "authors.name": {"default": "nobody", "max_length": 50},
        "authors.active": {"default": True, "nullable": True},
        "authors.money": {
            "default": {"$numberDecimal": "0.5"},
            "nullable": True,
            "max_digits": 10,
            "decimal_places": 2,
        },
        "authors.seen": {"nullable": True},
        "authors.feeling": {"nullable": True, "enum": ["sad", "happy"]},
        "seats.row": {"primary_key": True},
    },
    indexes={
        "authors": [{"name": "authors_email", "fields": ["email"], "unique": True}],
        "books": [{"name": "books_title", "fields": ["title", "-id"]}],
    },
    relations={
        "books": [relation("author", "many_to_one", "authors", ["author_id"], "cascade")],
        "seats": [relation("author", "one_to_one", "authors", ["author_id"], "set_null")],
    },
    notes=[
        "names: is a view",
        "log: has no primary key",
        "authors.seen: the default now()",
        "authors.local: has no time zone",
        "authors.place: has the type point",
        "authors.tags: has the type text[]",
        "authors.forever: timestamp with time zone holds days",
        "authors.nan: numeric holds NaN",
        "authors.feeling: the enum mood",
        "authors.rating: has 4 bytes",
        "books.upper_title: is a generated column",
        "books: the index books_some",
        "books: the index books_lower",
    ],
    silent=["books.title:", "authors.name:"],
)

MYSQL = Legacy(
    statements=[
        "CREATE TABLE authors (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL DEFAULT 'it''s', "
        "email VARCHAR(80), small TINYINT, active TINYINT(1) DEFAULT 1, level TINYINT(1), rating DOUBLE, seen "
        "TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, stamp DATETIME(6), born DATE, wakes TIME(6), photo LONGBLOB, "
        "money DECIMAL(10, 2) DEFAULT 0.5, extra JSON, feeling ENUM('sad', 'happy'), big BIGINT UNSIGNED, huge BIGINT "
        "UNSIGNED, place POINT, UNIQUE KEY authors_email (email)) CHARACTER SET utf8mb4",
        "CREATE TABLE books (id BIGINT AUTO_INCREMENT PRIMARY KEY, author_id INT UNSIGNED NOT NULL, title VARCHAR(100) "
        "NOT NULL, upper_title VARCHAR(100) AS (UPPER(title)) VIRTUAL, FOREIGN KEY (author_id) REFERENCES authors (id) "
        "ON DELETE CASCADE, KEY books_title (title, id DESC), FULLTEXT KEY books_words (title), "
        "UNIQUE KEY books_start (title(5)))",
        "CREATE TABLE seats (place VARCHAR(20), `row` INT, author_id INT UNSIGNED UNIQUE, PRIMARY KEY (`row`, place), "
        "FOREIGN KEY (author_id) REFERENCES authors (id) ON DELETE SET NULL)",
        "CREATE TABLE log (line TEXT)",
        "CREATE VIEW names AS SELECT name FROM authors",
        "INSERT INTO authors VALUES (1, 'Ada', 'a@x', 2, 1, 5, 0.5, '2024-01-31 12:00', '2024-01-31 12:00', "
        "'2024-01-31', '01:02:03', x'00ff', 1.50, '{\"a\": [1]}', 'happy', 7, 18446744073709551615, NULL)",
        "INSERT INTO books (author_id, title) VALUES (1, 'One')",
        "INSERT INTO seats VALUES ('a', 1, 1)",
    ],
    kinds={
        "authors": {
            "id": "int",
            "name": "text",
            "email": "text",
            "small": "int",
            "active": "bool",
            "level": "int",
            "rating": "float",
            "seen": "datetime",
            "stamp": "datetime",
            "born": "date",
            "wakes": "time",
            "photo": "bytes",
            "money": "decimal",
            "extra": "any",
            "feeling": "text",
            "big": "int",
        },
        "books": {"id": "int", "author_id": "int", "title": "text"},
        "seats": {"row": "int", "place": "text", "author_id": "int"},
    },
    rows={
        "authors": [
            {
                "active": True,
                "big": 7,
                "born": date(2024, 1, 31),
                "email": "a@x",
                "extra": {"a": [1]},
                "feeling": "happy",
                "id": 1,
                "level": 5,
                "money": Decimal("1.5"),
                "name": "Ada",
                "photo": b"\x00\xff",
                "rating": 0.5,
                "seen": NOON,
                "small": 2,
                "stamp": NOON,
                "wakes": time(1, 2, 3),
            }
        ],
        "books": [{"author_id": 1, "id": 1, "title": "One"}],
        "seats": [{"author_id": 1, "place": "a", "row": 1}],
    },
    fields={
        "authors.id": COUNTED,
        "books.id": COUNTED,
        "authors.name": {"default": "it's", "max_length": 50},
        "authors.active": {"default": True, "nullable": True},
        "authors.money": {
            "default": {"$numberDecimal": "0.5"},
            "nullable": True,
            "max_digits": 10,
            "decimal_places": 2,
        },
        "authors.seen": {"nullable": True},
        "seats.row": {"primary_key": True},
    },
    indexes={"authors": [{"name": "authors_email", "fields": ["email"], "unique": True}]},
    relations={
        "books": [relation("author", "many_to_one", "authors", ["author_id"], "cascade")],
        "seats": [relation("author", "one_to_one", "authors", ["author_id"], "set_null")],
    },
    notes=[
        "names: is a view",
        "log: has no primary key",
        "authors.seen: the default current_timestamp",
        "authors.place: has the type point",
        "authors.feeling: enum('sad','happy')",
        "authors.level: tinyint(1) holds values other than 0 and 1",
        "authors.huge: bigint(20) unsigned holds numbers beyond",
        "books.upper_title: is a generated column",
        "books: the index books_words",
        "books: the unique index books_start",
    ],
    silent=["authors.photo:", "authors.stamp:"],
)

ONE, TWO = ObjectId("59a47286cfa9a3a73e51e72c"), ObjectId("59a47286cfa9a3a73e51e72d")
ADA = {
    "name": "Ada",
    "n": 1,
    "size": 1,
    "mixed": 1,
    "at": NOON,
    "tags": ["x"],
    "home": {"city": "Bonn"},
    "by": {"k1": 1},
}
BO = {
    "name": None,
    "n": 2,
    "size": 0.5,
    "mixed": "x",
    "home": {"city": "Köln", "zip": 5},
    "by": {"k2": 2},
    "raw": b"\x00",
}

MONGODB = Legacy(
    statements=[
        {
            "insert": "authors",
            "documents": [{"_id": ONE, **ADA}, {"_id": TWO, **BO}, {"_id": ObjectId(), "by": {"k3": 3}}],
        },
        {"delete": "authors", "deletes": [{"q": {"n": {"$exists": False}}, "limit": 0}]},
        {
            "createIndexes": "authors",
            "indexes": [
                {"key": {"name": 1, "n": -1}, "name": "by_name"},
                {"key": {"n": 1}, "name": "one_n", "unique": True},
                {"key": {"n": 1, "size": 1}, "name": "some", "partialFilterExpression": {"n": {"$gt": 5}}},
                {"key": {"name": "text"}, "name": "words"},
            ],
        },
        {
            "create": "books",
            "validator": {
                "$jsonSchema": {
                    "bsonType": "object",
                    "required": ["title"],
                    "properties": {
                        "title": {"bsonType": "string"},
                        "pages": {"bsonType": ["int", "long"]},
                        "price": {"bsonType": ["double", "int", "long"]},
                    },
                }
            },
        },
        {"insert": "books", "documents": [{"_id": 1, "title": "One", "price": 1}]},
        {"insert": "seats", "documents": [{"_id": {"place": "a", "row": 1}, "guest": "Ada"}]},
        {"create": "nothing"},
        {"create": "names", "viewOn": "authors", "pipeline": []},
    ],
    kinds={
        "authors": {
            "id": "object_id",
            "name": "text",
            "n": "int",
            "size": "float",
            "mixed": "any",
            "at": "datetime",
            "tags": "list",
            "home": "model",
            "by": "model",
            "raw": "bytes",
        },
        "books": {"id": "int", "title": "text", "pages": "int", "price": "float"},
        "seats": {"place": "text", "row": "int", "guest": "text"},
    },
    rows={
        "authors": [
            {"id": ONE, **ADA, "size": 1.0, "raw": None},
            {"id": TWO, **BO, "at": None, "tags": None},
        ],
        "books": [{"id": 1, "pages": None, "price": 1.0, "title": "One"}],
        "seats": [{"guest": "Ada", "place": "a", "row": 1}],
    },
    fields={
        "authors.id": {"primary_key": True, "generated": "object_id"},
        "authors.name": {"nullable": True},
        "books.pages": {"nullable": True},
        "books.title": {},
    },
    indexes={
        "authors": [
            {"name": "by_name", "fields": ["name", "-n"]},
            {"name": "one_n", "fields": ["n"], "unique": True},
        ]
    },
    notes=[
        "authors: read from all of its 2 documents",
        "authors.mixed: holds int and text, read as any",
        "authors: the index some covers only a part",
        "authors: the index words",
        "names: is a view",
        "nothing: has no documents",
        "books.pages: may be missing but not null",
    ],
)

#: The database of each backend.
LEGACY = {"sqlite": SQLITE, "postgres": POSTGRES, "mysql": MYSQL, "mongodb": MONGODB}
