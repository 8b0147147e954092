import { cluster, clusterFaults, singleServer, singleServerFaults, underFaults } from './under-faults.ts';

// The full sizes stand in faults.soak.ts.
const size = { publications: 1_000, publishers: 4, clients: 32, rate: 500 };

underFaults('one nats-server, two edges, two publish services', size, singleServer, singleServerFaults);
underFaults('three nats-servers, three shards, two edges', size, cluster, clusterFaults);
