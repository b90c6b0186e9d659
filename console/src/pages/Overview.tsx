// The first page: is the money right? For finance and admins of the whole kernel, for members of their sites.
import { has, useViewer } from '../session/viewer.ts';
import { Kernel } from './overview/Kernel.tsx';
import { Own } from './overview/Own.tsx';
import '../styles/overview.css';

export default function Overview() {
  const viewer = useViewer();
  return has(viewer, 'platform-admin') || has(viewer, 'finance') ? <Kernel /> : <Own />;
}
