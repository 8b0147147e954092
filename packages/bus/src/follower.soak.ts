// The simulation of follower.sim.test.ts with many more seeds.
process.env.PUSHFLEET_SEEDS ??= '100000';
await import('./follower.sim.test.ts');
