"""Gives a rollout 30 days of history: what a release that moves every hour leaves, with its decisions.

usage: history.py STORE ROLLOUT        while no server runs
"""

import json
import sqlite3
import sys
import time

DAYS = 30
store, rollout = sys.argv[1:]
with sqlite3.connect(store) as database:
    bodies = database.execute("SELECT body FROM coalmine_history WHERE name = ?", (rollout,))
    decided = next(body for body in map(lambda row: json.loads(row[0]), bodies) if body.get("decision"))
    database.execute("DELETE FROM coalmine_history WHERE name = ?", (rollout,))
    database.execute("DELETE FROM coalmine_lines WHERE name = ?", (rollout,))
    (position,) = database.execute("SELECT COALESCE(MAX(position), 0) FROM coalmine_lines").fetchone()
    lines = DAYS * 24
    for number in range(1, lines + 1):
        at = int(time.time()) - (lines - number) * 3600 - 60
        weight = [0, 50_000, 250_000, 500_000][number // 40 % 4]
        decided["logged"] = {"at": at, "what": "advanced", "weight": weight, "why": f"hour {number} of them"}
        row = (rollout, number, at, json.dumps(decided))
        database.execute("INSERT INTO coalmine_history (name, number, at, body) VALUES (?, ?, ?, ?)", row)
        database.execute("INSERT INTO coalmine_lines VALUES (?, ?, ?)", (position + number, rollout, number))
    print(f"{lines} lines of history")
