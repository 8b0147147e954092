// The simulation of hub.sim.test.ts with many more seeds.
process.env.PUSHFLEET_SEEDS ??= '20000';
await import('./hub.sim.test.ts');
