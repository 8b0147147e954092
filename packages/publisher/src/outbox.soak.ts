// The simulation of outbox.sim.test.ts with many more seeds.
process.env.PUSHFLEET_SEEDS ??= '50000';
await import('./outbox.sim.test.ts');
