// Turkish words of the dispute export.
import type { Translated } from './area.ts';
import type { en } from './en.dispute.ts';

export const tr: Translated<typeof en> = {
  title: 'İtiraz dışa aktarımı',
  intro:
    'Bir ayın bütün defter satırları değişmeyen bir sırayla, ardından düzeltmeleri; SHA-256 özetini herkesin yeniden hesaplayabileceği tek bir CSV dosyasında. Her indirme adınızla denetim kaydına yazılır.',
  steps: 'Adımlar',
  step_scope: 'Kapsam',
  step_preview: 'Önizleme',
  step_export: 'Dışa aktarma',
  no_site: 'Satırlarını dışa aktarabileceğiniz bir siteniz yok.',
  month: 'Ay',
  month_open: '{month} (hâlâ açık)',
  month_frozen: '{month} (donduruldu)',
  to_preview: 'Önizle',
  to_scope: 'Kapsamı değiştir',
  rows: 'Satır',
  rows_unit: 'satır',
  size: 'Yaklaşık boyut',
  corrections: 'Satırlardan sonra gelen düzeltmeler',
  corrections_unit: 'düzeltme',
  columns: 'Sütunlar',
  snapshot_hash: 'Faturanın özeti',
  ledger_hash: 'Defterin özeti',
  export_hash: 'Dosyanın SHA-256 özeti',
  hash_later: 'Dosya hazırlanınca belli olur; dosya bu sayfadaysa burada denetlenir.',
  open_note:
    'Ay hâlâ açık: dosya, defterde şu anda olanları içerir; sonraki bir aktarım daha fazlasını içerir.',
  archived_note: 'Satırlar defterden ayrıldı; ayın arşivinden alınır.',
  inline_note: 'Bu kadar az satır doğrudan yanıtta gelir.',
  long_note:
    '20.000’den fazla satır önce ayrıca hazırlanır; bu sayfa bekler ve ne kadarının bittiğini gösterir.',
  consequence:
    '{site} sitesinin {month} ayına ait {rows} satırını dışa aktarır. İndirme, dispute_export olarak denetim kaydına yazılır.',
  export: '{rows} satırı dışa aktar',
  empty: 'Bu ayda hiç satır yok: dosyada yalnızca başlık olur.',
  building: 'Yazılan satır',
  building_text:
    '{id} numaralı dosya hazırlanıyor. Sayfadan ayrılabilirsiniz: iş sürer, yeniden istemek onu bulur.',
  stop_waiting: 'Beklemeyi bırak',
  stopped: 'Artık beklenmiyor. {id} numaralı dosyayla sürdürmek için yeniden isteyin.',
  go_on: 'Sürdür',
  again: 'Yeniden dışa aktar',
  inline_done: 'Dosya burada: {bytes} bayt, {rows} satır.',
  verified: 'Doğrulandı: bu tarayıcının hesapladığı SHA-256, çekirdeğin kaydettiğiyle aynı.',
  not_verified: 'Doğrulanmadı: bu tarayıcının hesapladığı SHA-256 {found}, çekirdeğin kaydettiği {expected}.',
  save: '{name} dosyasını kaydet',
  ready: 'Dosya hazır.',
  ready_link:
    'Bağlantılar {minutes} dakika sonra geçersiz olur. Dosyayı özetiyle karşılaştırın: sha256sum {name}',
  download: 'Dosyayı indir',
  manifest: 'Bildirimini indir',
  ready_command:
    'Bir sayfa, çekirdeğin nereye yönlendirdiğini okuyamaz; bu yüzden dosya şu komutla alınır. TOKEN sizin erişim belirtecinizdir; x-opsmantik-export-hash başlığı dosyanın SHA-256 özetidir.',
  command: 'komut',
  failed: 'Dışa aktarma başarılamadı: {error}',
};
