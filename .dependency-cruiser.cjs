// The arrows of the architecture: services → packages → core. See docs/architecture.md.
const tests = '[.](test|sim|soak)[.]ts$|/test/|/testing[^/]*[.]ts$';

/** What a package of the fleet may import beside its own files, libraries and what Node brings. */
const only = (folder, allowed) => ({
  name: `${folder.replace('/', '-')}-imports`,
  comment: `${folder} imports ${allowed.length === 0 ? 'nothing of the fleet' : allowed.join(', ')}, and libraries.`,
  severity: 'error',
  from: { path: `^${folder}/`, pathNot: tests },
  to: { path: '^(packages|services|e2e)/', pathNot: [folder, ...allowed].map((path) => `^${path}/`) },
});

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Two files that need each other are one file, or one of them holds something of a third.',
      severity: 'error',
      from: {},
      to: { circular: true, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'core-is-pure',
      comment: 'core does no I/O: it imports nothing but itself and pure parts of Node.',
      severity: 'error',
      from: { path: '^packages/core/', pathNot: tests },
      to: { pathNot: ['^packages/core/', '^(node:)?(buffer|util)$'] },
    },
    only('packages/bus', ['packages/core']),
    only('packages/hub', ['packages/core']),
    only('packages/runtime', ['packages/core']),
    only('packages/intake', ['packages/core', 'packages/bus', 'packages/runtime']),
    only('packages/edge', ['packages/core', 'packages/bus', 'packages/hub', 'packages/runtime']),
    only('packages/outbound', ['packages/core', 'packages/runtime']),
    only('packages/delivery', ['packages/core', 'packages/bus', 'packages/runtime', 'packages/outbound']),
    // What services of others install pulls in the public API and nothing else of the fleet.
    only('packages/publisher', []),
    {
      name: 'client-runs-in-browsers',
      comment: 'The client is what front ends install: its own files, no library, nothing of Node.',
      severity: 'error',
      from: { path: '^packages/client/', pathNot: tests },
      to: { pathNot: '^packages/client/' },
    },
    only('packages/cli', ['packages/core', 'packages/runtime', 'packages/bus', 'packages/client']),
    only('packages/contract', ['packages/core', 'packages/bus', 'packages/cli']),
    {
      name: 'no-service-imports-another',
      comment: 'Services meet on the bus and in the registry. What two of them need belongs to a package.',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'contract-is-for-tests',
      comment: 'The behaviour suites and the launchers of real servers stay out of what is deployed.',
      severity: 'error',
      from: { path: '^(packages|services)/', pathNot: ['^packages/contract/', tests] },
      to: { path: '^packages/contract/' },
    },
    {
      name: 'services-leave-the-command-alone',
      comment: 'The command and the launcher start services; nothing that is deployed needs them.',
      severity: 'error',
      from: { path: '^services/', pathNot: tests },
      to: { path: '^packages/cli/' },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '[.]turbo/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
