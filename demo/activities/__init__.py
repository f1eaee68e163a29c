"""Every activity of the policy, as Moodle stores it, with what students leave in it and what must stay."""
