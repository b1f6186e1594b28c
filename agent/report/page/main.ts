document.title = "profile";
