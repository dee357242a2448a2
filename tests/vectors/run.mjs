// Runs a test program that was built for wasm32-wasip1: node run.mjs PROGRAM [ARGUMENT..]
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args, env: process.env, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(args[0]));
// A panic ends the program by a trap, and so this one with an error.
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
