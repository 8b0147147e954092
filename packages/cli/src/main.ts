import { exitCode } from './exit-code.ts';
import { runProgram } from './program.ts';

// A reader that had enough, such as `head`, is no failure.
process.stdout.on('error', () => process.exit(exitCode.done));
process.exitCode = await runProgram(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
