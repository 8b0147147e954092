#!/usr/bin/env node
// The command, under a Node that is new enough: bootstrap.mjs finds or brings one.
process.argv.splice(2, 0, 'packages/cli/src/main.ts');
await import('../../../bootstrap.mjs');
