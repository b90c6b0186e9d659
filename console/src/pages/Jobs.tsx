// Jobs: whether every schedule runs, what reconciliation of each site came to, and backfills; each for those who may see it.
import { Page } from '../parts/Page.tsx';
import { has, useViewer } from '../session/viewer.ts';
import { t } from '../words/jobs.ts';
import { Backfills } from './jobs/Backfills.tsx';
import { Heartbeats } from './jobs/Heartbeats.tsx';
import { JobsOfAll, JobsOfSite } from './jobs/Reconciliation.tsx';
import { Wallets } from './jobs/Wallets.tsx';
import '../styles/jobs.css';

export default function Jobs() {
  const viewer = useViewer();
  const admin = has(viewer, 'platform-admin');
  const service = admin || has(viewer, 'service');
  return (
    <Page title={t('title')}>
      {admin && <Heartbeats />}
      {admin ? <JobsOfAll /> : has(viewer, 'queue:operate') && <JobsOfSite />}
      {service && <Backfills />}
      {service && <Wallets />}
    </Page>
  );
}
