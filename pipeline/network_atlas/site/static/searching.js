// Read before the page is drawn: where the address holds a search, the network behind it is not shown, and none of its pictures are read.
"use strict";
document.documentElement.classList.toggle("searching", /[#&](find|verdict)=./.test(location.hash));
