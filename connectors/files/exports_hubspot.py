"""What HubSpot's own exports look like: one CSV an object type, columns named by label. Data only.

Instants are written `2026-11-05 14:30` in the zone of whoever exported; lists of ids are joined by `;`; owners are
named, not numbered. Labels are compared without regard to case: "Deal owner" and "Deal Owner" are both around.
"""

#: As `exports_salesforce.LABELS`: (object, our table, headers that tell it apart, our column = their headers : kind).
LABELS: tuple[tuple[str, str, str, str], ...] = (
    (
        "deals",
        "opportunities",
        "Record ID/Record ID - Deal/Deal ID; Deal Stage/Deal Name",
        """
        source_id = Record ID | Record ID - Deal | Deal ID
        name = Deal Name
        pipeline = Pipeline | Deal pipeline
        stage = Deal Stage
        close_at = Close Date
        close_date = Close Date
        amount = Amount
        currency = Currency | Deal Currency Code
        type = Deal Type : deal_type
        probability = Deal probability : share
        loss_reason = Closed Lost Reason
        lead_source = Original Traffic Source | Original Source Type | Original Source
        sf_opportunity_id = Salesforce Opportunity ID : sfid
        owner_id = Deal owner
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        created_at = Create Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "tickets",
        "tickets",
        "Ticket ID/Record ID/Record ID - Ticket; Ticket status/Ticket name",
        """
        source_id = Ticket ID | Record ID | Record ID - Ticket
        subject = Ticket name
        pipeline = Pipeline | Ticket pipeline
        status = Ticket status
        category = Category : lower
        priority = Priority : lower
        touchpoint = Source : lower
        close_reason = Resolution : lower
        closed_at = Close date
        first_response_at = First agent email response date | First agent reply date
        owner_id = Ticket owner
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        contact_id = Associated Contact IDs (Primary) : first | Associated Contact IDs : first
        created_at = Create date
        updated_at = Last modified date
        """,
    ),
    (
        "companies",
        "accounts",
        "Record ID/Record ID - Company/Company ID; Company name/Company Domain Name",
        """
        source_id = Record ID | Record ID - Company | Company ID
        name = Company name
        domain_norm = Company Domain Name : domain | Website URL : domain
        industry = Industry
        region = Country/Region | Country
        parent_id = Parent Company ID : first | Associated Parent Company IDs : first
        sf_account_id = Salesforce Account ID : sfid
        owner_id = Company owner
        created_at = Create Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "contacts",
        "contacts",
        "Record ID/Record ID - Contact/Contact ID; Email/First Name/Last Name",
        """
        source_id = Record ID | Record ID - Contact | Contact ID
        first_name = First Name
        last_name = Last Name
        email_norm = Email : email
        phone_norm = Phone Number : phone
        job_title = Job Title
        lifecycle = Lifecycle Stage : lower
        opted_out = Unsubscribed from all email
        bounced = Email hard bounce reason : present
        sf_contact_id = Salesforce Contact ID : sfid
        sf_lead_id = Salesforce Lead ID : sfid
        owner_id = Contact owner
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        created_at = Create Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "leads",
        "leads",
        "Record ID/Record ID - Lead/Lead ID; Lead Name/Lead Pipeline Stage/Lead Stage",
        """
        source_id = Record ID | Record ID - Lead | Lead ID
        name = Lead Name
        email_norm = Associated Contact Email : email | Email : email
        company = Associated Company Name | Company Name
        source_channel = Lead Source
        status = Lead Pipeline Stage | Lead Stage
        owner_id = Lead owner
        created_at = Create Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "contacts",
        "leads",
        "Record ID/Record ID - Contact/Contact ID; Lifecycle Stage",
        """
        source_id = Record ID | Record ID - Contact | Contact ID
        email_norm = Email : email
        company = Company Name
        source_channel = Original Traffic Source | Original Source
        status = Lifecycle Stage : lower
        owner_id = Contact owner
        created_at = Create Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "calls",
        "activities",
        "Record ID/Call ID; Call Title/Call outcome/Call status",
        """
        source_id = Record ID | Call ID
        subject = Call Title
        occurred_at = Activity date | Call date
        duration_s = Call duration : ms
        owner_id = Activity assigned to
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        contact_id = Associated Contact IDs : first
        opportunity_id = Associated Deal IDs : first
        ticket_id = Associated Ticket IDs : first
        created_at = Create date
        updated_at = Last modified date
        """,
    ),
    (
        "meetings",
        "activities",
        "Record ID/Meeting ID; Meeting name/Meeting outcome",
        """
        source_id = Record ID | Meeting ID
        subject = Meeting name
        occurred_at = Meeting start time | Activity date
        due_at = Meeting start time | Activity date
        completed_at = Meeting end time
        owner_id = Activity assigned to
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        contact_id = Associated Contact IDs : first
        opportunity_id = Associated Deal IDs : first
        ticket_id = Associated Ticket IDs : first
        created_at = Create date
        updated_at = Last modified date
        """,
    ),
    (
        "tasks",
        "activities",
        "Record ID/Task ID; Task Title/Task status",
        """
        source_id = Record ID | Task ID
        subject = Task Title
        due_at = Due date
        completed_at = Completed at
        owner_id = Assigned to | Activity assigned to
        account_id = Associated Company IDs (Primary) : first | Associated Company IDs : first
        contact_id = Associated Contact IDs : first
        opportunity_id = Associated Deal IDs : first
        ticket_id = Associated Ticket IDs : first
        created_at = Create date
        updated_at = Last modified date
        """,
    ),
)
