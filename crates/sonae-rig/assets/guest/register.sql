-- Every row of the register as one line of text: what was written, and a checksum over the record itself.
-- The same text is asked inside the guest and outside it, so that two independent readers can be compared.
select 'ROW|' || id || '|' || written_at || '|' || number || '|' || name || '|' || address || '|' || hex(sha3(record, 256))
  from resident order by id;
