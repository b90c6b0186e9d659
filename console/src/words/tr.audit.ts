// Turkish words of the audit log.
import type { Translated } from './area.ts';
import type { en } from './en.audit.ts';

export const tr: Translated<typeof en> = {
  title: 'Denetim',
  caption: 'Kim ne yaptı, en yenisi önce; bu kayıtta hiçbir şey değiştirilemez ve silinemez',
  nothing: 'Henüz denetim kaydına yazılan bir şey yapılmadı.',
  actor: 'Yapan',
  actor_hint: 'Tam olarak yazıldığı gibi',
  action: 'Eylem',
  resource_type: 'Kaynak',
  resource_id: 'Kaynağın kimliği',
  site_id: 'Sitenin kimliği',
  when: 'Ne zaman',
  number: 'No.',
  user: 'kişi',
  service_role: 'çekirdek',
  cron: 'iş',
  resource: 'Neyin üzerinde',
  site: 'Site',
  payload: 'Ayrıntılar',
  only_this: 'Yalnızca {what} {value}',
};
