import { cluster, clusterFaults, singleServer, singleServerFaults, underFaults } from './under-faults.ts';

const size = { publications: 20_000, publishers: 4, clients: 200, rate: 1_000 };

underFaults('one nats-server, full size', size, singleServer, singleServerFaults);
underFaults('three nats-servers and three shards, full size', size, cluster, clusterFaults);
