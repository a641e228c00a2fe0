"""The configuration that goes with a sandbox: both CRMs, the mail server, targets and two scorecards."""

import re
from datetime import date

_CONFIG = """\
# Made for the bundled sandbox. Every address is a loopback port or a reserved name; nothing leaves this machine.

[agent]
name     = "Northwind Trading"
data_dir = "data"
timezone = "Europe/Berlin"
currency = "EUR"
locale   = "en-GB"

[calendar]
business_hours = {{ days = ["mon", "tue", "wed", "thu", "fri"], from = 09:00:00, to = 18:00:00 }}
holidays       = "DE-BY"

[source.sf]
type          = "salesforce"
auth          = "client_credentials"
instance_url  = "https://northwind.my.salesforce.com"
client_id     = "{sf_client_id}"
client_secret = "file:secrets/sf_client_secret"
# The bundled server takes two other logins as well; either goes in place of auth, client_id and client_secret:
#   auth             = "password"
#   username         = "{sf_username}"
#   password         = "file:secrets/sf_password"
#   security_token   = "file:secrets/sf_security_token"
#
#   auth             = "jwt"
#   client_id        = "{sf_client_id}"
#   username         = "{sf_username}"
#   private_key_file = "secrets/sf_private_key.pem"
base_url      = "{sf_url}"
start         = {start}
every         = "1m"

[source.sf.fields.accounts]
tier           = "Tier__c"
region         = "Region__c"
customer_since = "Customer_Since__c"
[source.sf.fields.opportunities]
loss_reason = "Loss_Reason__c"
health      = "Health__c"
[source.sf.fields.orders]
promised_date  = "Promised_Date__c"
delivered_date = "Delivered_Date__c"
cancelled_date = "Cancelled_Date__c"
[source.sf.fields.tickets]
close_reason = "Close_Reason__c"
[source.sf.fields.survey_responses]
object       = "Survey_Response__c"
score        = "Score__c"
scale_max    = "Scale_Max__c"
responded_at = "Responded_At__c"
comment      = "Comment__c"
ticket_id    = "Case__c"
contact_id   = "Contact__c"

[source.sf.values.accounts]
kind = {{ "Customer - Direct" = "customer", "Prospect" = "prospect", "Channel Partner / Reseller" = "partner", "Other" = "other" }}
[source.sf.values.opportunities]
type   = {{ "New Business" = "newbusiness", "Existing Business" = "existingbusiness", "Renewal" = "renewal" }}
health = {{ "Green" = "green", "Amber" = "amber", "Red" = "red" }}
[source.sf.values.leads]
status_category = {{ "Closed - Not Converted" = "disqualified" }}
[source.sf.values.tickets]
status_category = {{ "Waiting on Customer" = "pending" }}
category        = {{ "Question" = "question", "Problem" = "problem", "Complaint" = "complaint", "Feature Request" = "idea" }}
close_reason    = {{ "Resolved" = "resolved", "Workaround" = "workaround", "No response" = "no_response", "Spam" = "spam", "Duplicate" = "duplicate" }}

[source.hs]
type         = "hubspot"
access_token = "file:secrets/hs_access_token"
# Or, in place of it:
#   client_id     = "{hs_client_id}"
#   client_secret = "file:secrets/hs_client_secret"
#   refresh_token = "file:secrets/hs_refresh_token"
base_url     = "{hs_url}"
api_path     = "2026-09"
every        = "1m"
app_host     = "app-eu1.hubspot.com"
converted    = {{ stages = ["qualified-stage-id"] }}

[source.hs.fields.accounts]
kind           = "lifecyclestage"
tier           = "tier"
region         = "region"
customer_since = "customer_since"
[source.hs.fields.opportunities]
health = "deal_health"
[source.hs.fields.orders]
promised_date  = "promised_date"
delivered_date = "delivered_date"
cancelled_date = "cancelled_date"
[source.hs.fields.tickets]
close_reason = "close_reason"
is_escalated = "escalated"

[source.hs.values.accounts]
kind = {{ "customer" = "customer", "lead" = "prospect", "opportunity" = "prospect", "other" = "other" }}
[source.hs.values.leads]
status_category = {{ "unqualified-stage-id" = "disqualified" }}
[source.hs.values.tickets]
status_category = {{ "2" = "pending" }}
category        = {{ "GENERAL_INQUIRY" = "question", "PRODUCT_ISSUE" = "problem", "COMPLAINT" = "complaint", "FEATURE_REQUEST" = "idea" }}

[test_rows]
domains = ["sandbox-test.example"]
names   = ["ZZTEST*"]

[identity]
system_of_record = "salesforce"

[customers]
model = "repurchase"

[mail]
host            = "127.0.0.1"
port            = {smtp_port}
security        = "none"
from            = "Northwind Scorecards <scorecards@northwind.example>"
reply_to        = "revops@northwind.example"
allowed_domains = ["northwind.example", "northwind.test"]
unsubscribe     = "mailto:scorecards@northwind.example?subject=stop"

[dimension]
owner = {{ leads = "owner.name", opportunities = "owner.name", tickets = "owner.name" }}
team  = {{ leads = "owner.team", opportunities = "owner.team", tickets = "owner.team" }}

[kpi.won_revenue]
period = "month"
by     = ["team"]
[kpi.won_revenue.target]
want  = "up"
value = 500000

[kpi.win_rate]
period = "month"
[kpi.win_rate.target]
want  = "up"
value = 0.45

[kpi.lost_opportunities.target]
want  = "down"
value = 12

[kpi.lead_conversion_rate.target]
want  = "up"
value = 0.2

[kpi.unconverted_leads.target]
want  = "down"
value = 30

[kpi.lead_response_time.target]
want  = "down"
value = 2700

[kpi.first_response_time.target]
want  = "down"
value = 7200

[kpi.mean_time_to_resolution.target]
want  = "down"
value = 345600

[kpi.relationship_freshness.target]
want  = "up"
value = 0.5

[kpi.full_resolution_rate]
params = {{ resolved_reasons = ["resolved", "workaround"], excluded_reasons = ["spam", "duplicate"] }}
[kpi.full_resolution_rate.target]
want  = "up"
value = 0.85

[kpi.csat_score.target]
want  = "up"
value = 8.0

[kpi.ticket_backlog.target]
want  = "down"
value = 150

[kpi.dq_completeness]
params = {{ object = "contacts", required = {{ email_norm = 2, phone_norm = 1, account_id = 1, job_title = 1 }} }}

[scorecard.sales_weekly]
title = "Sales scorecard"
owner = "revops@northwind.example"
send  = "monday 08:00"
kpis  = ["won_revenue", "win_rate", "lost_opportunities", "pipeline_open_value", "sales_growth", "lead_conversion_rate", "unconverted_leads", "lead_response_time"]
to    = ["Dana Ruiz <vp.sales@northwind.test>", "kim.doe@northwind.example"]

[scorecard.service_weekly]
title = "Service scorecard"
owner = "revops@northwind.example"
send  = "monday 08:00"
kpis  = ["ticket_backlog", "first_response_time", "mean_time_to_resolution", "full_resolution_rate", "csat_score", "customer_retention_rate", "relationship_freshness", "dq_completeness"]
to    = ["head.of.service@northwind.test"]
"""  # noqa: E501


def config_text(
    *, sf_url: str, hs_url: str, smtp_port: int, sf_client_id: str, sf_username: str, hs_client_id: str, start: date
) -> str:
    """The TOML of a ready configuration; its secrets are files beside it."""
    return _CONFIG.format(
        sf_url=sf_url,
        hs_url=hs_url,
        smtp_port=smtp_port,
        sf_client_id=sf_client_id,
        sf_username=sf_username,
        hs_client_id=hs_client_id,
        start=start.isoformat(),
    )


def with_addresses(text: str, *, sf_url: str, hs_url: str, smtp_port: int) -> str:
    """An edited configuration with nothing changed but where the servers are now."""
    tables = re.split(r"(?m)^(?=\[)", text)
    for number, table in enumerate(tables):
        if re.match(r"\[source\.[^.\]]+\]", table):
            for kind, url in (("salesforce", sf_url), ("hubspot", hs_url)):
                if re.search(rf'(?m)^type\s*=\s*"{kind}"', table):
                    tables[number] = re.sub(r'(?m)^(base_url\s*=\s*)"http://127\.0\.0\.1:\d+"', rf'\1"{url}"', table)
        elif table.startswith("[mail]") and re.search(r'(?m)^host\s*=\s*"127\.0\.0\.1"', table):
            tables[number] = re.sub(r"(?m)^(port\s*=\s*)\d+", rf"\g<1>{smtp_port}", table)
    return "".join(tables)
