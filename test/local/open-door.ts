// The settings of a door for tests: two callers, and the secret of the master role of a Postgres.
import type { DoorSettings } from '../../local/door/door.ts';
import { MASTER_PASSWORD } from './open-postgres.ts';

const clusterArn = 'arn:aws:rds:eu-central-1:000000000000:cluster:kernel';
export const secretArn = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:kernel/master-AbC123';
export const masterSecret = JSON.stringify({ username: 'kernel_master', password: MASTER_PASSWORD });
export const statement = { resourceArn: clusterArn, secretArn, database: 'kernel' };

export const settingsFor = (port: number): DoorSettings => ({
  identities: new Map([
    ['AKIAINGEST', 'ingest'],
    ['AKIADELIVER', 'deliver'],
  ]),
  secrets: new Map([[secretArn, masterSecret]]),
  database: { clusterArn, host: '127.0.0.1', port },
});
