-- Runs once, on empty tables: the identities count from 1 in the order of the rows.

insert into conversation (title, about) values
    ('Launch day', 'The lighthouse app goes live at noon'),
    ('Kitchen table', 'Bread, soup and who brings the cake'),
    ('Night shift', 'Whoever is awake keeps the others company');

insert into member (conversation_id, name) values
    (1, 'Mira'), (1, 'Jonas'), (1, 'Aiko'),
    (2, 'Mira'), (2, 'Tomás'), (2, 'Priya'),
    (3, 'Aiko'), (3, 'Tomás');

insert into message (conversation_id, author_id, body, created_at)
select a.conversation_id, a.id, said.body, now() - said.ago
from (values
    (1, 'Mira',  'Morning! The release notes are done. Could someone read them with fresh eyes?', interval '52 minutes'),
    (1, 'Jonas', 'Reading. You wrote "lighthose" twice, otherwise lovely.',                       interval '49 minutes'),
    (1, 'Mira',  'Fixed. In both places, and in this conversation without reloading anything.',   interval '47 minutes'),
    (1, 'Aiko',  'Staging is green. The harbour master wants a screenshot for the notice board.', interval '31 minutes'),
    (1, 'Jonas', 'Sending one. With the lamp on, of course.',                                     interval '30 minutes'),
    (1, 'Aiko',  'Who brings the cake? Wrong conversation, I know. Please move this one.',        interval '12 minutes'),
    (2, 'Tomás', 'The sourdough is alive again. It doubled overnight!',                           interval '3 hours'),
    (2, 'Priya', 'Then soup on Thursday? I have far too many pumpkins.',                          interval '2 hours 50 minutes'),
    (2, 'Mira',  'Yes please. I can bring the big pot.',                                          interval '2 hours 41 minutes'),
    (2, 'Tomás', 'Pumpkin soup, fresh bread, six of us. Did I forget anyone?',                    interval '26 minutes'),
    (3, 'Aiko',  'Half past three and all is quiet. The graphs look like a lake.',                interval '7 hours'),
    (3, 'Tomás', 'Same here. A fox just walked past the window.',                                 interval '6 hours 55 minutes')
) as said (conversation_id, author, body, ago)
join member a on a.conversation_id = said.conversation_id and a.name = said.author
order by said.ago desc;
