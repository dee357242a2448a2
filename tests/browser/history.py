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
    (decision,) = database.execute("SELECT body FROM coalmine_decisions WHERE name = ? LIMIT 1", (rollout,)).fetchone()
    for table in ("history", "decisions", "lines"):
        database.execute(f"DELETE FROM coalmine_{table} WHERE name = ?", (rollout,))
    (position,) = database.execute("SELECT COALESCE(MAX(position), 0) FROM coalmine_lines").fetchone()
    lines = DAYS * 24
    for number in range(1, lines + 1):
        at = int(time.time()) - (lines - number) * 3600 - 60
        weight = [0, 50_000, 250_000, 500_000][number // 40 % 4]
        logged = {"at": at, "what": "advanced", "weight": weight, "why": f"hour {number} of them"}
        row = (rollout, number, at, json.dumps({"logged": logged}))
        database.execute("INSERT INTO coalmine_history (name, number, at, body) VALUES (?, ?, ?, ?)", row)
        database.execute("INSERT INTO coalmine_decisions VALUES (?, ?, ?)", (rollout, number, decision))
        database.execute("INSERT INTO coalmine_lines VALUES (?, ?, ?)", (position + number, rollout, number))
    print(f"{lines} lines of history")
