"""What Salesforce's own exports look like: Data Export and Data Loader (API names), reports (labels). Data only.

Data Export writes instants in UTC without saying so; a report writes them in its reader's zone and language.
"""

#: (object, our table, headers that tell it apart, our column = their headers : kind).
#: A header set names one header a word; `a/b` means one of both. `|` in the map: the first one the file has.
API: tuple[tuple[str, str, str, str], ...] = (
    (
        "User",
        "users",
        "Id Username/IsActive Name/LastName",
        """
        source_id = Id : sfid
        name = Name
        email = Email : email
        is_active = IsActive
        created_at = CreatedDate
        updated_at = SystemModstamp | LastModifiedDate
        """,
    ),
    (
        "Group",
        "users",
        "Id DeveloperName Type Name",
        """
        source_id = Id : sfid
        name = Name
        email = Email : email
        created_at = CreatedDate
        updated_at = SystemModstamp | LastModifiedDate
        """,
    ),
    (
        "Account",
        "accounts",
        "Id Name/LastName Type/Industry/ParentId/BillingCountry/Website SystemModstamp/LastModifiedDate/CreatedDate",
        """
        name = Name
        domain_norm = Website : domain
        kind = Type : account_kind
        industry = Industry
        region = BillingCountry
        owner_id = OwnerId : sfid
        parent_id = ParentId : sfid
        """,
    ),
    (
        "Contact",
        "contacts",
        "Id LastName AccountId/Email/Phone",
        """
        first_name = FirstName
        last_name = LastName
        email_norm = Email : email
        phone_norm = Phone : phone
        job_title = Title
        account_id = AccountId : sfid
        owner_id = OwnerId : sfid
        opted_out = HasOptedOutOfEmail
        dnc = DoNotCall
        bounced = IsEmailBounced
        """,
    ),
    (
        "Lead",
        "leads",
        "Id Status Company/IsConverted/LastName",
        """
        email_norm = Email : email
        company = Company
        source_channel = LeadSource
        status = Status
        converted_date = ConvertedDate
        owner_id = OwnerId : sfid
        converted_opportunity_id = ConvertedOpportunityId : sfid
        converted_account_id = ConvertedAccountId : sfid
        converted_contact_id = ConvertedContactId : sfid
        """,
    ),
    (
        "Opportunity",
        "opportunities",
        "Id StageName",
        """
        name = Name
        account_id = AccountId : sfid
        owner_id = OwnerId : sfid
        pipeline = RecordTypeId
        stage = StageName
        close_date = CloseDate
        amount = Amount
        currency = CurrencyIsoCode
        type = Type : deal_type
        probability = Probability : percent
        loss_reason = Loss_Reason__c
        lead_source = LeadSource
        """,
    ),
    (
        "OpportunityHistory",
        "opportunity_stage_history",
        "Id OpportunityId StageName CreatedDate",
        """
        source_id = Id : sfid
        opportunity_id = OpportunityId : sfid
        changed_at = CreatedDate
        stage = StageName
        amount = Amount
        currency = CurrencyIsoCode
        close_date = CloseDate
        """,
    ),
    (
        "OpportunityLineItem",
        "opportunity_lines",
        "Id OpportunityId Quantity",
        """
        opportunity_id = OpportunityId : sfid
        product = Name | ProductCode | Product2Id
        quantity = Quantity
        amount = TotalPrice
        currency = CurrencyIsoCode
        """,
    ),
    (
        "Case",
        "tickets",
        "Id Status CaseNumber/IsClosed/ClosedDate/Origin",
        """
        subject = Subject
        account_id = AccountId : sfid
        contact_id = ContactId : sfid
        owner_id = OwnerId : sfid
        pipeline = RecordTypeId
        status = Status
        category = Type : lower
        priority = Priority : lower
        touchpoint = Origin : lower
        close_reason = Reason : lower
        closed_at = ClosedDate
        is_escalated = IsEscalated
        """,
    ),
    (
        "CaseHistory2",
        "ticket_status_history",
        "CaseId Status LastModifiedDate/CreatedDate",
        """
        source_id = Id : sfid
        ticket_id = CaseId : sfid
        changed_at = LastModifiedDate | CreatedDate
        status = Status
        """,
    ),
    (
        "CaseHistory",
        "ticket_status_history",
        "Id CaseId Field NewValue CreatedDate",
        """
        source_id = Id : sfid
        ticket_id = CaseId : sfid
        changed_at = CreatedDate
        status = NewValue
        """,
    ),
    (
        "Task",
        "activities",
        "Id ActivityDate WhoId/WhatId Status/IsClosed",
        """
        subject = Subject
        owner_id = OwnerId : sfid
        due_at = ActivityDate
        completed_at = CompletedDateTime
        duration_s = CallDurationInSeconds
        """,
    ),
    (
        "Event",
        "activities",
        "Id StartDateTime/ActivityDateTime WhoId/WhatId",
        """
        subject = Subject
        owner_id = OwnerId : sfid
        occurred_at = StartDateTime | ActivityDateTime
        due_at = StartDateTime | ActivityDateTime
        completed_at = EndDateTime
        """,
    ),
    (
        "Order",
        "orders",
        "Id OrderNumber EffectiveDate",
        """
        account_id = AccountId : sfid
        owner_id = OwnerId : sfid
        status = Status : lower
        order_date = EffectiveDate
        amount = TotalAmount
        currency = CurrencyIsoCode
        """,
    ),
    (
        "Contract",
        "contracts",
        "Id ContractNumber StartDate",
        """
        account_id = AccountId : sfid
        start_date = StartDate
        end_date = EndDate
        currency = CurrencyIsoCode
        """,
    ),
)

#: Read of every object of `API` that has them, beside its own columns. A history has ids and dates of its own.
API_COMMON = """
    source_id = Id : sfid
    created_at = CreatedDate
    updated_at = SystemModstamp | LastModifiedDate
    is_deleted = IsDeleted
    merged_into = MasterRecordId : sfid
"""

#: Reports name their columns by label: the same shape, headers separated by `;` since they hold blanks.
LABELS: tuple[tuple[str, str, str, str], ...] = (
    (
        "Opportunity report",
        "opportunities",
        "Opportunity ID; Stage/Opportunity Name",
        """
        source_id = Opportunity ID : sfid
        name = Opportunity Name
        account_id = Account ID : sfid
        owner_id = Opportunity Owner ID | Owner ID | Opportunity Owner
        pipeline = Opportunity Record Type
        stage = Stage
        close_date = Close Date
        amount = Amount
        currency = Opportunity Currency | Amount Currency | Currency
        type = Type : deal_type
        probability = Probability (%) : percent
        loss_reason = Loss Reason
        lead_source = Lead Source
        created_at = Created Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "Case report",
        "tickets",
        "Case ID/Case Number; Status",
        """
        source_id = Case ID : sfid | Case Number
        subject = Subject
        account_id = Account ID : sfid
        contact_id = Contact ID : sfid
        owner_id = Case Owner ID | Owner ID | Case Owner
        pipeline = Case Record Type
        status = Status
        category = Type : lower
        priority = Priority : lower
        touchpoint = Case Origin : lower
        close_reason = Case Reason : lower
        closed_at = Date/Time Closed | Closed Date
        created_at = Date/Time Opened | Opened Date | Created Date
        updated_at = Case Last Modified Date | Last Modified Date
        is_escalated = Escalated
        """,
    ),
    (
        "Lead report",
        "leads",
        "Lead ID; Lead Status",
        """
        source_id = Lead ID : sfid
        email_norm = Email : email
        company = Company / Account | Company
        source_channel = Lead Source
        status = Lead Status
        owner_id = Lead Owner ID | Owner ID | Lead Owner
        converted_date = Converted Date
        created_at = Create Date | Created Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "Account report",
        "accounts",
        "Account ID; Account Name",
        """
        source_id = Account ID : sfid
        name = Account Name
        domain_norm = Website : domain
        kind = Type | Account Type : account_kind
        industry = Industry
        region = Billing Country
        owner_id = Account Owner ID | Owner ID | Account Owner
        parent_id = Parent Account ID : sfid
        created_at = Created Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "Contact report",
        "contacts",
        "Contact ID; Last Name/Email",
        """
        source_id = Contact ID : sfid
        first_name = First Name
        last_name = Last Name
        email_norm = Email : email
        phone_norm = Phone : phone
        job_title = Title
        account_id = Account ID : sfid
        owner_id = Contact Owner ID | Owner ID | Contact Owner
        opted_out = Email Opt Out
        dnc = Do Not Call
        created_at = Created Date
        updated_at = Last Modified Date
        """,
    ),
    (
        "User report",
        "users",
        "User ID; Full Name/Username/Email",
        """
        source_id = User ID : sfid
        name = Full Name
        email = Email : email
        is_active = Active
        team = Role
        manager = Manager
        created_at = Created Date
        updated_at = Last Modified Date
        """,
    ),
)
