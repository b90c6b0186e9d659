// Who may call which SQL function and read or write which table: declared by hand, and tried by test/sql/roles.test.ts.

export interface Rights {
  functions: readonly string[];
  /** Tables and views, whole or by columns: `table(column,column)`. */
  reads: readonly string[];
  inserts?: readonly string[];
}

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Conversions and the caller's own identity, which tell nothing that the caller has not. */
const plain_functions = words(`
  account_id attempt_row deposit_row derived_uuid ingest_key_text ingest_uuid ingest_uuid_id month_start
  my_account_ids my_site_ids player_row signed_in_user staff_tenant utc_text utc_year_month
  payout_order withdrawal_row`);

/** What belongs to a site, a tenant or a player; row-level security shows each caller its own. */
const own_rows = words(`
  accounts adjustment_proposals billing_reconciliation_jobs currencies deposits dispute_exports entries
  events holds ingest_conflicts ingest_fallback_buffer ingest_idempotency invoice_adjustments
  invoice_barriers invoice_seals invoice_snapshot ledger_archives ledger_purges ledger_transactions
  legacy_balances payout_attempts players promo_lots promo_moves reconciliation_findings site_members
  site_plans site_usage_monthly sites tracker_days transfers wallet_balances withdrawals`);

/** What belongs to nobody outside. */
const inner_rows = words(`
  account_repairs audit_log data_migration_items data_migrations feature_flag_overrides feature_flags
  correction_ceilings deposit_reversals finding_corrections folds ingest_publish_failures invoice_settlements
  job_heartbeats money_policies order_lines payment_methods payment_providers products profiles seal_checks
  provider_customers provider_events provider_feed psp_callbacks psp_events webhook_events reconciliation_reports reconciliation_runs retention_marks site_api_keys`);

const authenticated: Rights = {
  functions: plain_functions,
  reads: [...own_rows, 'idempotency_keys(id,key)'],
};

/** A role that is granted another has all that the other has. */
function also(base: Rights, functions: string): Rights {
  return { ...base, functions: [...base.functions, ...words(functions)] };
}

const only = (functions: string): Rights => ({ functions: words(functions), reads: [] });

/** Every role that is granted anything, and every role that can log in, but the owner of the schema. */
export const MATRIX: Record<string, Rights> = {
  service_role: {
    functions: plain_functions,
    reads: [...own_rows, ...inner_rows, 'idempotency_keys'],
    inserts: ['invoice_snapshot'],
  },
  authenticated,
  kernel_ingest: only(`
    count_tracker_batch ingest kernel_health record_publish_failure site_for_ingest`),
  kernel_deliver: only(`
    deliver record_heartbeat recover`),
  kernel_jobs: only(`
    adjustment_lines apply_event backfill_step backfill_wallets begin_backfill begin_reconciliation
    begin_wallets broken_reports canary_arrived canary_site check_money check_seal claim_billing_reconciliation_jobs
    claim_dispute_export enqueue_reconciliation expire_events expire_holds expire_personal_data
    expire_promo finish_dispute_export finish_reconciliation flag_on fold_accounts freeze_barrier
    freeze_invoice heartbeats kernel_metrics ledger_days ledger_page list_migrations list_reports
    money_doctor month_start month_state months_to_purge open_migrations plan_backfill plan_wallets
    progress_dispute_export purge_ledger read_migration reconcile_site reconcile_wallets
    reconciliation_summary record_archive record_heartbeat record_provider_event release_reconciliation
    require_ended_month seal_invoice seals_to_check set_product sites_to_freeze verify_invoice wallet_drift
    wallet_invariants watchtower_checks withdrawal_signals
    add_feed backfill_steps claim_run finish_run list_runs listed_until mockpsp mockpsp_callbacks
    mockpsp_list mockpsp_sent payment_backlog process_due_events process_events purge_feed read_run
    receive_events request_run settle_deposit settle_invoices settle_payout waiting_payouts`),
  kernel_api: also(
    authenticated,
    `
    adjust_invoice adjustment_lines adjustment_row balance_at begin_dispute_export broken_reports
    capabilities_of check_money create_api_key create_site decide_adjustment erase_payloads
    erase_site_payloads find_site flag_on kernel_health kernel_metrics ledger_page list_adjustments
    kernel_overview list_accounts list_api_keys list_audit list_flags list_migrations list_reports list_site_jobs list_site_usage list_sites money_doctor month_state my_sites
    propose_adjustment read_dispute_export read_invoice_proof read_invoices read_jobs read_migration
    read_account read_receipt read_sealed_lines read_site_days read_site_plan read_site_quota read_site_rows read_site_usage read_transfer site_days site_rows trial_balance record_dispute_export
    request_dispute_export request_reconciliation require_capability revoke_api_key set_enforcement set_flag set_product
    set_site_member set_site_plan sign_in site_plan site_quota site_role site_row site_usage unblock_plan
    verify_invoice wallet_drift read_export read_settlement set_settlement read_site_tracker site_tracker`,
  ),
  kernel_money: also(
    authenticated,
    `
    act_on_withdrawal adjust_player adjust_wallet balance_at begin_deposit capture change_player
    check_money credit_wallet debit_wallet flag_on grant_promo hold import_legacy_balances
    list_player_transactions list_withdrawals mockpsp money_policy open_account open_wallet read_player
    read_wallet read_withdrawal register_player request_withdrawal reverse set_money_policy
    settle_deposit settle_payout shown_balance sign_in spend submit_kyc transfer transfer_batch void
    add_feed cancel_withdrawal claim_run correct_finding decide_correction finish_run list_findings
    list_payment_methods list_products list_runs mockpsp_list own_finding read_finding read_run
    request_run resolve_finding set_correction_ceiling set_payment_method set_product
    set_provider_customer`,
  ),
  kernel_webhook: only('receive_webhook'),
};
